from pipe import play

play(lambda server, send: send({"method": "notifications/cancelled", "params": {"requestId": 7, "reason": "stop"}}))
