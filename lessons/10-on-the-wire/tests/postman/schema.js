// Does a collection follow Postman's schema? Prints what does not, and fails.
//
// The validator brings the schema along, so none is fetched.
//
//     node schema.js mcp-cancellation.postman_collection.json

const { readFileSync } = require("node:fs");
const { PostmanValidator } = require("@har-sdk/validator");

const collection = JSON.parse(readFileSync(process.argv[2], "utf8"));
new PostmanValidator().verify(collection).then(errors => {
    errors.forEach(({ instancePath, message }) => console.log(`${instancePath || "/"}: ${message}`));
    process.exitCode = errors.length > 0 ? 1 : 0;
});
