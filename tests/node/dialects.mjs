// What tests/test_dialects.py does with the Python SDKs, once more with the official Node SDKs.
// Arguments: their node_modules, the gateway's address, a key, the model, the dialect of the model's provider.
// Prints a line of JSON for each call: what was done, and what was understood of the answer.
import { createRequire } from "node:module";

const [, , modules, address, key, model, api] = process.argv;
const require = createRequire(`${modules}/`);
const OpenAI = require("openai").default;
const Anthropic = require("@anthropic-ai/sdk").default;

const openai = new OpenAI({ baseURL: `${address}/v1`, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: address, apiKey: key, maxRetries: 0 });
const say = (call, text, usage) => console.log(JSON.stringify({ call, text, ...usage }));

const messages = [{ role: "user", content: "lobster in Node" }];
const parameters = { type: "object", properties: { city: { type: "string" } } };
const called = [{ role: "user", content: 'call weather {"city": "Hangzhou"}' }];

async function chat() {
  const used = (usage) => ({ input: usage.prompt_tokens, output: usage.completion_tokens });
  const whole = await openai.chat.completions.create({ model, messages });
  say("chat", whole.choices[0].message.content, used(whole.usage));

  let text = "";
  let usage;
  const stream = await openai.chat.completions.create({
    model, messages, stream: true, stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  say("chat, streamed", text, used(usage));

  const tools = [{ type: "function", function: { name: "weather", parameters } }];
  const asked = await openai.chat.completions.create({ model, messages: called, tools });
  say("chat, tool", asked.choices[0].message.tool_calls[0].function.arguments, used(asked.usage));
}

async function message() {
  const used = (usage) => ({ input: usage.input_tokens, output: usage.output_tokens });
  const whole = await anthropic.messages.create({ model, messages, max_tokens: 100 });
  say("messages", whole.content[0].text, used(whole.usage));

  const streamed = await anthropic.messages.stream({ model, messages, max_tokens: 100 }).finalMessage();
  say("messages, streamed", streamed.content[0].text, used(streamed.usage));

  const tools = [{ name: "weather", input_schema: parameters }];
  const asked = await anthropic.messages.stream({ model, messages: called, tools, max_tokens: 100 }).finalMessage();
  say("messages, tool", JSON.stringify(asked.content[0].input), used(asked.usage));

  const counted = await anthropic.messages.countTokens({ model, messages });
  say("count_tokens", null, { input: counted.input_tokens });
}

async function response() {
  const used = (usage) => ({ input: usage.input_tokens, output: usage.output_tokens });
  const whole = await openai.responses.create({ model, input: messages });
  say("responses", whole.output_text, used(whole.usage));

  const streamed = await openai.responses.stream({ model, input: messages }).finalResponse();
  say("responses, streamed", streamed.output_text, used(streamed.usage));
}

if (api === "openai-responses") {
  await response();
} else {
  await chat();
  await message();
}
if (api !== "anthropic-messages") {
  const vectors = await openai.embeddings.create({ model, input: ["lobster", "creel"] });
  say("embeddings", `${vectors.data.length} of ${vectors.data[0].embedding.length}`, {
    input: vectors.usage.prompt_tokens, output: 0,
  });
}
for await (const listed of openai.models.list()) say("models, OpenAI's", listed.id);
for await (const listed of anthropic.models.list()) say("models, Anthropic's", listed.id);
