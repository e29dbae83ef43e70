// SPDX-License-Identifier: MIT
// ws.js PORT REDIS_PORT: rooms on Node's `ws`, several processes joined by Redis pub/sub.
//
// As its documentation has it (README of ws):
// - "Opt-in for performance": bufferutil and utf-8-validate are installed.
// - "WebSocket compression": permessage-deflate is off, the default, since it costs memory and speed.
// - "Server broadcast": a loop over the clients that are OPEN. The text is made into a Buffer once,
//   so that ws need not encode it again for every member.
// Redis as in the documentation of node-redis, "Pub/Sub": a connection of its own for subscriptions.
import { createServer } from "node:http";
import { createClient } from "redis";
import { WebSocket, WebSocketServer } from "ws";

const [port, redisPort] = process.argv.slice(2).map(Number);
const rooms = new Map(); // name -> { members, never empty; subscribed, a promise }
const publisher = createClient({ url: `redis://127.0.0.1:${redisPort}` });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);

const envelope = (type, data) => JSON.stringify({ type, data });

function broadcast(text, room) {
    const frame = Buffer.from(text);
    for (const socket of rooms.get(room)?.members ?? []) {
        if (socket.readyState === WebSocket.OPEN) socket.send(frame, { binary: false });
    }
}

// Resolves when the room's messages come; the first one who joins subscribes.
async function join(socket, name) {
    if (!rooms.has(name)) {
        const subscribed = subscriber.subscribe(name, broadcast);
        rooms.set(name, { members: new Set(), subscribed });
    }
    const room = rooms.get(name);
    room.members.add(socket);
    await room.subscribed;
    return room.members.size;
}

function leave(socket, name) {
    const { members } = rooms.get(name);
    members.delete(socket);
    if (members.size > 0) return;
    rooms.delete(name);
    void subscriber.unsubscribe(name, broadcast);
}

const requests = {
    async join(socket, { room, user }) {
        if (socket.room !== undefined) return;
        Object.assign(socket, { room, user });
        const online = await join(socket, room);
        socket.send(envelope("welcome", { room, user, online }));
    },
    chat(socket, { text }) {
        const ts = Math.floor(Date.now() / 1000);
        const chat = envelope("chat", { room: socket.room, from: socket.user, text, ts });
        return publisher.publish(socket.room, chat);
    },
};

const http = createServer();
const server = new WebSocketServer({ server: http, path: "/ws", perMessageDeflate: false });
server.on("connection", (socket) => {
    socket.on("error", () => socket.terminate());
    socket.on("message", (text) => {
        const { type, data } = JSON.parse(text);
        void requests[type]?.(socket, data);
    });
    socket.on("close", () => {
        if (socket.room !== undefined) leave(socket, socket.room);
    });
});
http.listen({ port, host: "127.0.0.1", backlog: 4096 });
