// A program to send traffic to: says on every request who it is; /stream goes on for ever.
// usage: node serving.js PORT ROLE
import { createServer } from "node:http";

const [port, role] = process.argv.slice(2);
const server = createServer((request, response) => {
  response.writeHead(200);
  if (request.url !== "/stream") return response.end(`${role} ${process.env.TENURE_TOKEN ?? ""}`);
  response.write("begun\n");
});
server.listen(Number(port), "127.0.0.1", () => console.log(`started ${process.pid} ${process.env.TENURE_TOKEN}`));
