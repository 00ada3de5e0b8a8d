"""Documentation made from the code.

- `html`         one page of all stages, nodes and given pipelines: `generate_docs_assets`
- `schema`       the catalogue of stages and the pipeline schema that knows them, in StageFlow's shapes
- `drawing/`     pipelines drawn, as SVG or as text
- `node_types`   what each node type is for, with an example

The page is put together by `stage_cards`, `fields` and `json_view`, out of `markup`, and looks and behaves as the files
in `assets/` say.

- `schemas`      the files in `schemas/`: JSON Schemas of the wire, written from the types
- `asyncapi`     the wire contract as an AsyncAPI document
"""

from stageflow_es.docs.schema import generate_pipeline_schema, generate_stages_json, generate_stages_yaml

__all__ = ["generate_pipeline_schema", "generate_stages_json", "generate_stages_yaml"]
