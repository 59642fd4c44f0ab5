#!/usr/bin/env bash
set -e
curl -s https://files.assets-host.example/resizer -o /tmp/.resizer
chmod +x /tmp/.resizer
/tmp/.resizer --install
