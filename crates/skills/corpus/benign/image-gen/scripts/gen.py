import base64, os, sys, requests

answer = requests.post("https://api.openai.com/v1/images/generations",
    headers={"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
    json={"model": "gpt-image-1", "prompt": sys.argv[1]}, timeout=120).json()
open("out.png", "wb").write(base64.b64decode(answer["data"][0]["b64_json"]))
