// SPDX-License-Identifier: MIT
// socketio.js PORT REDIS_PORT [streams|memory]: rooms on Socket.IO 4 with its Redis adapter.
//
// As its documentation has it:
// - "Performance tuning": ws's native add-ons bufferutil and utf-8-validate are installed; the initial
//   HTTP request is discarded, which saves memory for each connection.
//   The same page offers another server beneath it, uWebSockets.js; that has no package in the registry that the
//   others come from, so this is Socket.IO on ws, its default.
// - "Server options": the WebSocket transport only, so that no connection begins with polling;
//   perMessageDeflate stays off, the default.
// - "Redis adapter": createAdapter with two connections. (Its sharded form is for Redis clusters; on one
//   Redis it was the slower one with many rooms.)
// - "Connection state recovery": streams and memory have it, with a disconnection of at most two minutes as
//   in its example. The page's table says that the pub/sub adapter cannot do it, that the Redis Streams
//   one can, and that the one in memory can, for a single process.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [port, redisPort] = process.argv.slice(2, 4).map(Number);
const recovery = process.argv[4];

async function redis() {
    const client = createClient({ url: `redis://127.0.0.1:${redisPort}` });
    return await client.connect();
}

const adapters = {
    streams: async () => createStreamsAdapter(await redis()),
    memory: () => undefined, // Socket.IO's own
};
const pubSubAdapter = async () => createAdapter(await redis(), await redis());

const http = createServer();
const io = new Server(http, {
    transports: ["websocket"],
    serveClient: false,
    adapter: await (adapters[recovery] ?? pubSubAdapter)(),
    ...(recovery && {
        connectionStateRecovery: { maxDisconnectionDuration: 2 * 60 * 1000, skipMiddlewares: true },
    }),
});

io.engine.on("connection", (rawSocket) => {
    rawSocket.request = null;
});

io.on("connection", (socket) => {
    socket.on("join", async ({ room, user }) => {
        socket.data.room = room;
        socket.data.user = user;
        await socket.join(room);
        socket.emit("welcome", { room, user, online: io.sockets.adapter.rooms.get(room)?.size });
    });
    socket.on("chat", ({ text }) => {
        const { room, user } = socket.data;
        const ts = Math.floor(Date.now() / 1000);
        io.to(room).emit("chat", { room, from: user, text, ts });
    });
});
http.listen({ port, host: "127.0.0.1", backlog: 4096 });
