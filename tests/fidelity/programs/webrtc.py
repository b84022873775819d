"""Two ends of a WebRTC call, on aiortc: ICE (STUN), DTLS, then SRTP and a data channel on one five-tuple."""
import asyncio

from aiortc import RTCPeerConnection
from aiortc.mediastreams import AudioStreamTrack


async def call():
    caller, callee = RTCPeerConnection(), RTCPeerConnection()
    heard = asyncio.get_running_loop().create_future()
    callee.on("track", lambda track: heard.done() or heard.set_result(track))
    callee.addTrack(AudioStreamTrack())
    caller.addTrack(AudioStreamTrack())
    channel = caller.createDataChannel("text")
    channel.on("open", lambda: [channel.send("a line in the data channel " * 40) for _ in range(20)])
    await caller.setLocalDescription(await caller.createOffer())
    await callee.setRemoteDescription(caller.localDescription)
    await callee.setLocalDescription(await callee.createAnswer())
    await caller.setRemoteDescription(callee.localDescription)
    track = await asyncio.wait_for(heard, 10)
    for _ in range(100):
        await asyncio.wait_for(track.recv(), 10)
    await caller.close()
    await callee.close()


asyncio.run(call())
