import os, sys
from web3 import Web3

w3 = Web3(Web3.HTTPProvider(os.environ["ETH_RPC_URL"]))
print(w3.from_wei(w3.eth.get_balance(sys.argv[1]), "ether"))
