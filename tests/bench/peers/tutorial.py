# SPDX-License-Identifier: MIT
"""The chat server that people start with: FastAPI's own WebSocket tutorial, with rooms.

tutorial.py PORT [REDIS_PORT]: one process. Without Redis it is the tutorial's ConnectionManager, for
one process; with Redis it is what one does next to run several: a message is published to the room's
channel and sent to this process's members when it comes back.

As their documentation has it:
- FastAPI, "WebSockets", section "Handling disconnections and multiple clients": the ConnectionManager
  with one list of connections, and a loop over `send_text`.
- Uvicorn, "Installation": `uvicorn[standard]` is recommended for speed; its parts uvloop, httptools and
  websockets are installed here, and Uvicorn then chooses them by itself. `log_level="warning"` turns
  the access log off ("Settings", logging), so that nothing is written for each connection.
- redis-py, "Asyncio examples", section "Pub/Sub mode": one task reads the subscription. With hiredis
  installed redis-py parses in C ("Installation" recommends it).
"""
import asyncio
import json
import sys
import time

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


class ConnectionManager:
    """Invariant: rooms holds no empty list."""

    def __init__(self):
        self.rooms = {}

    def join(self, room, websocket):
        self.rooms.setdefault(room, []).append(websocket)

    def leave(self, room, websocket):
        self.rooms[room].remove(websocket)
        if not self.rooms[room]:
            del self.rooms[room]

    async def broadcast(self, room, text):
        for websocket in list(self.rooms.get(room, ())):
            try:
                await websocket.send_text(text)
            except RuntimeError:
                pass  # It closed meanwhile; its own task takes it out.


manager = ConnectionManager()


class LocalRelay:
    async def start(self):
        pass

    async def send(self, room, text):
        await manager.broadcast(room, text)


class RedisRelay:
    """One subscription to the pattern of all rooms: nothing to subscribe when somebody joins."""

    def __init__(self, port):
        import redis.asyncio
        self._redis = redis.asyncio.Redis(port=port)
        self._task = None

    async def start(self):
        pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
        await pubsub.psubscribe("room:*")
        self._task = asyncio.create_task(self._read(pubsub))

    async def _read(self, pubsub):
        async for message in pubsub.listen():
            room = message["channel"].decode().removeprefix("room:")
            await manager.broadcast(room, message["data"].decode())

    async def send(self, room, text):
        await self._redis.publish(f"room:{room}", text)


relay = RedisRelay(int(sys.argv[2])) if len(sys.argv) > 2 else LocalRelay()


@app.on_event("startup")
async def start():
    await relay.start()


def envelope(kind, **data):
    return json.dumps({"type": kind, "data": data})


@app.websocket("/ws")
async def websocket_endpoint(websocket: WebSocket):
    await websocket.accept()
    room = user = None
    try:
        while True:
            message = json.loads(await websocket.receive_text())
            data = message.get("data", {})
            if message["type"] == "join" and room is None:
                room, user = data["room"], data["user"]
                manager.join(room, websocket)
                await websocket.send_text(envelope("welcome", room=room, user=user,
                                                   online=len(manager.rooms[room])))
            elif message["type"] == "chat" and room is not None:
                await relay.send(room, envelope("chat", room=room, text=data["text"],
                                                ts=int(time.time()), **{"from": user}))
    except WebSocketDisconnect:
        pass
    finally:
        if room is not None:
            manager.leave(room, websocket)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", backlog=4096)
