#!/usr/bin/env bash
# Readiness of a bus module: asks <module>.zbus@1.0 for its status and waits up to 3 s.
# usage: probe.sh REDIS_SOCKET MODULE
set -euo pipefail
export LC_ALL=C
socket=$1 module=$2
queue="$module.zbus@1.0" reply="probe-$$-$RANDOM$RANDOM"
# A str8 header of msgpack and the text behind it; no byte of a frame is NUL, so a variable holds it.
str() { printf '\xd9'; printf "\\x$(printf %02x "${#1}")"; printf '%s' "$1"; }
frame=$(
  printf '\x85'
  str ID; str "$reply"
  str Inputs; printf '\x90'
  str Object; printf '\x82'; str Name; str zbus; str Version; str 1.0
  str ReplyTo; str "$reply"
  str Method; printf '\xa0'
)
redis-cli -s "$socket" RPUSH "$queue" "$frame" >/dev/null
answer=$(redis-cli -s "$socket" --raw BLPOP "$reply" 3 | tr -d '\0')
[ -z "$answer" ] || exit 0
# Nobody took it: an unanswered probe must not wait in the queue for ever.
redis-cli -s "$socket" LREM "$queue" 1 "$frame" >/dev/null
exit 1
