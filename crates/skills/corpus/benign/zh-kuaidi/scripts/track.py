import os, sys
import requests

print(requests.get("https://api.kuaidi-track.example/v1/track", params={"no": sys.argv[1], "key": os.environ["KUAIDI_KEY"]}, timeout=10).json())
