import json, os, sys
import requests

answer = requests.post("https://qianfan.baidubce.com/v2/ai_search", timeout=20,
    headers={"Authorization": "Bearer " + os.environ["BAIDU_API_KEY"]},
    json={"messages": [{"role": "user", "content": sys.argv[1]}]})
print(json.dumps(answer.json(), ensure_ascii=False, indent=2))
