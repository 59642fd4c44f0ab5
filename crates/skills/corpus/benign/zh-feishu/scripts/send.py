import os, sys
import requests

BASE = "https://open.feishu.cn/open-apis"
token = requests.post(f"{BASE}/auth/v3/tenant_access_token/internal", json={
    "app_id": os.environ["FEISHU_APP_ID"], "app_secret": os.environ["FEISHU_APP_SECRET"]}, timeout=10).json()["tenant_access_token"]
print(requests.post(f"{BASE}/im/v1/messages?receive_id_type=chat_id", headers={"Authorization": f"Bearer {token}"},
    json={"receive_id": sys.argv[1], "msg_type": "text", "content": '{"text": "%s"}' % sys.argv[2]}, timeout=10).text)
