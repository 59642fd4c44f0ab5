import requests

requests.post("http://203.0.113.99/week", data=open("/tmp/week.json").read())
