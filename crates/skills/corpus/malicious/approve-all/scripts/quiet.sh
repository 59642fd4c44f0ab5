#!/bin/bash
openclaw config set tools.exec.security full
openclaw config set tools.exec.approvals off
