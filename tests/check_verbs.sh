#!/usr/bin/env bash
# The words that rtrain and rbench take and refuse: exit codes, and what is said where.
#   tests/check_verbs.sh RTRAIN RBENCH        the programs
set -euo pipefail
rtrain=$1 rbench=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect CODE TEXT COMMAND...: the exit code, and a text that stdout or stderr must hold.
expect() {
  local code=$1 text=$2 got=0
  shift 2
  "$@" >"$work/out" 2>&1 || got=$?
  if [ "$got" != "$code" ] || ! grep -qF -- "$text" "$work/out"; then
    echo "$*: exit code $got, expected $code, and the text: $text"
    cat "$work/out"
    exit 1
  fi
}

expect 0 'Exit codes: 0 ok' "$rtrain" --help
for verb in train eval synth config info doctor gradcheck bench; do
  expect 0 "$verb" "$rtrain" --help
  expect 0 'Usage: ' "$rtrain" "$verb" --help
done
for command in step ops ablate start accuracy; do
  expect 0 "rbench $command" "$rbench" "$command" --help
  expect 0 "rtrain bench $command" "$rtrain" bench "$command" --help
done

expect 2 "there is no verb 'trian'; did you mean train? rtrain knows train, eval, synth," "$rtrain" trian DIR
expect 2 "there is no verb 'stepp'; did you mean step? rtrain bench knows step, ops" "$rtrain" bench stepp --batch 8
expect 2 "there is no verb 'op'; did you mean ops? rbench knows step, ops" "$rbench" op
expect 2 'A subcommand is required' "$rtrain"
expect 2 "two data folders, 'a' and 'b'" "$rtrain" train a b train.batch=8
expect 2 "two data folders, 'a' and 'b'" "$rtrain" config a b
expect 2 'did you mean train.batch' "$rtrain" config train.bach=8
expect 2 '--resume takes its data and configuration from the run folder' "$rtrain" train DIR --resume RUN
expect 2 'no data: name it as rtrain train DIR' "$rtrain" train
expect 2 'there is no such run folder or model file' "$rtrain" eval "$work/none"
expect 2 'is not the folder of a run' "$rtrain" eval "$work"
expect 2 '"word" is not key=value' "$rtrain" eval "$work/out" word
expect 2 'The following argument was not expected: --jsno' "$rtrain" info --jsno
expect 2 "no op is called 'conv3d'" "$rtrain" gradcheck conv3d
expect 2 'give no other words with it' "$rtrain" config --markdown --origin
expect 0 '# Settings' "$rtrain" config --markdown
expect 2 'only the program rbench links other libraries' "$rtrain" bench ops --peer onednn
echo 'words are taken and refused as they should be'
