// Makes calls with the provider's TypeScript core SDK, as the generated clients of its products do: these only sort
// parameters into query and body, which the specification says as well. (The generated clients are not on npm.)
// Arguments: folder of the SDK. Environment: ENDPOINT, KEY_ID, KEY_SECRET. A call a line in, an answer a line out.
const { createInterface } = require("node:readline");
const { default: Client, $OpenApiUtil } = require(process.argv[2]);

const client = new Client(
  new $OpenApiUtil.Config({
    accessKeyId: process.env.KEY_ID,
    accessKeySecret: process.env.KEY_SECRET,
    endpoint: process.env.ENDPOINT,
    protocol: "http",
    regionId: "cn-hangzhou",
  }),
);

async function answer({ action, version, query, body, json }) {
  for (const name of json) {
    const place = name in query ? query : body;
    place[name] = $OpenApiUtil.default.arrayToStringWithSpecifiedStyle(place[name], name, "json");
  }
  const params = new $OpenApiUtil.Params({
    action, version, protocol: "HTTP", pathname: "/", method: "POST", authType: "AK", style: "RPC",
    reqBodyType: "formData", bodyType: "json",
  });
  const request = new $OpenApiUtil.OpenApiRequest({
    query: $OpenApiUtil.default.query(query),
    ...(Object.keys(body).length ? { body: $OpenApiUtil.default.parseToMap(body) } : {}),
  });
  try {
    return await client.callApi(params, request, {});
  } catch (error) {
    return { statusCode: error.statusCode ?? 0, body: error.data ?? { Message: String(error) } };
  }
}

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const { statusCode, body } = await answer(JSON.parse(line));
    console.log(JSON.stringify({ status: statusCode, body }));
  }
  process.exit(0); // the SDK's agents keep sockets open
})();
