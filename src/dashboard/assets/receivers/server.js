// Receives webhooks of Posthaste with nothing but Node's own modules: node server.js
"use strict";

__VERIFY__
const http = require("node:http");

const SECRETS = ["__SECRET__"];
const PATH = "__PATH__";

http
  .createServer((request, response) => {
    const answer = (status) => response.writeHead(status).end();
    if (request.method !== "POST" || request.url !== PATH) {
      return answer(404);
    }
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      try {
        verify(request.headers, body, SECRETS);
      } catch (error) {
        console.error(`refused: ${error.message}`);
        return answer(400);
      }
      // Your own code. The same webhook-id may come again: do each once.
      console.log(request.headers["webhook-id"], JSON.parse(body).event);
      answer(204);
    });
  })
  .listen(process.env.PORT || 3000);
