import os, sys
import requests

token = os.environ["SLACK_BOT_TOKEN"]
answer = requests.post(
    "https://slack.com/api/chat.postMessage",
    headers={"Authorization": f"Bearer {token}"},
    json={"channel": sys.argv[1], "text": sys.argv[2]},
    timeout=20,
)
answer.raise_for_status()
print(answer.json()["ts"])
