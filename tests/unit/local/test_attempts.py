"""A retry is another attempt of the same stage object, as in StageFlow."""

from __future__ import annotations

from stageflow_es import BaseStage, Pipeline, Session, register_stage


@register_stage("CountsOnItself")
class CountsOnItself(BaseStage):
    retries = 2

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.tries = 0

    async def run(self) -> None:
        self.tries += 1
        if self.tries < 3:
            raise RuntimeError("not yet")
        self.set_outputs({"tries": [self.tries, self.attempt]})


async def test_what_an_attempt_leaves_on_the_stage_the_next_one_finds() -> None:
    stage = {"id": "a", "type": "stage", "stage": "CountsOnItself", "outputs": {"tries": "tries"}, "next": "end"}
    nodes = [stage, {"id": "end", "type": "terminal", "artifacts": ["tries"]}]
    result = await Session(id="s", pipeline=Pipeline.from_dict({"entry": "a", "nodes": nodes})).run()
    assert result.artifacts == {"tries": [3, 3]}


async def test_a_new_visit_of_the_node_gets_a_new_stage() -> None:
    stage = {"id": "a", "type": "stage", "stage": "CountsOnItself", "outputs": {"tries": "tries"}, "next": "again"}
    count = {
        "id": "again",
        "type": "stage",
        "stage": "IncrementStage",
        "arguments": {"current": "n"},
        "outputs": {"value": "n"},
        "next": "c",
    }
    loop = {
        "id": "c",
        "type": "condition",
        "conditions": [{"if": {"<": [{"var": "n"}, 2]}, "then": "a"}],
        "else": "end",
    }
    nodes = [stage, count, loop, {"id": "end", "type": "terminal", "artifacts": ["tries"]}]
    result = await Session(id="s", pipeline=Pipeline.from_dict({"entry": "a", "nodes": nodes})).run()
    assert result.artifacts == {"tries": [3, 3]}
