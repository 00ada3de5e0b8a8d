// A session from Node.js, over plain NATS: npm install @nats-io/transport-node @nats-io/jetstream
import { connect, headers } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";

const nc = await connect({ servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222" });
const js = jetstream(nc);
const session = `order-${Date.now()}`;

const pipeline = {
  entry: "double",
  nodes: [
    { id: "double", type: "stage", stage: "IncrementStage", arguments: { current: "amount" }, outputs: { value: "amount" }, next: "end" },
    { id: "end", type: "terminal", result: { status: "ok" }, artifacts: ["amount"] },
  ],
};

async function command(kind, name, body) {
  const h = headers();
  h.set("Nats-Msg-Id", `${session}-${name}`);
  return await js.publish(`stageflow.command.${kind}.${session}`, JSON.stringify(body), { headers: h });
}

const events = nc.subscribe(`stageflow.events.${session}`);
const rejections = nc.subscribe(`stageflow.rejections.${session}`);
(async () => {
  for await (const message of rejections) {
    console.error("rejected:", message.json().problems);
    process.exit(1);
  }
})();

await command("start", "start", { pipeline, payload: { amount: 41 } });
for await (const message of events) {
  const event = message.json();
  console.log(event.n, event.type);
  if (event.type === "session_completed") {
    console.log(event.artifacts); // { amount: 42 }
    break;
  }
}

await nc.close();
