#!/bin/sh
# tools/get_cifar10.sh against a server on 127.0.0.1 that knows ranges, breaks connections and damages files as the path
# says. Exit code 77: skipped. Runs once with curl and, where it exists, once with wget.
set -eu

script=$(cd "$(dirname "$0")/.." && pwd)/tools/get_cifar10.sh
command -v curl >/dev/null || { echo "skipped: needs curl"; exit 77; }
command -v python3 >/dev/null || { echo "skipped: needs python3"; exit 77; }
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
fail() { echo "FAILED ($tool): $*"; cat "$work/log" "$work/requests" 2>/dev/null; exit 1; }

# An archive of the right shape, large enough that a broken connection leaves a part of it on disk.
mkdir -p "$work/src/cifar-10-batches-bin" "$work/www"
head -c 1500000 /dev/urandom >"$work/src/cifar-10-batches-bin/data_batch_1.bin"
tar -czf "$work/www/good.tar.gz" -C "$work/src" cifar-10-batches-bin
md5=$(md5sum "$work/www/good.tar.gz" | cut -d ' ' -f 1)

cat >"$work/server.py" <<'PYTHON'
import http.server, os, re, sys
work = sys.argv[1]
archive = open(os.path.join(work, "www", "good.tar.gz"), "rb").read()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data, begin = archive, 0
        wanted = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        with open(os.path.join(work, "requests"), "a") as log:
            log.write(f"{self.path} {self.headers.get('Range', 'whole')}\n")
        if self.path == "/absent":
            return self.send_error(404)
        if self.path == "/damaged":
            data = archive[:700000] + bytes([archive[700000] ^ 1]) + archive[700001:]
        if wanted and self.path != "/no-ranges":
            begin = int(wanted[1])
            if begin >= len(data):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        # "/breaks" hangs up in the middle of a whole file and serves the rest when asked for it.
        self.wfile.write(data[begin : 800000 if self.path == "/breaks" and not wanted else None])

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(os.path.join(work, "port.part"), "w") as f:
    f.write(str(server.server_port))
os.rename(os.path.join(work, "port.part"), os.path.join(work, "port"))
server.serve_forever()
PYTHON
python3 "$work/server.py" "$work" 2>"$work/server.log" &
server=$!
for _ in $(seq 100); do [ -f "$work/port" ] && break; sleep 0.1; done
[ -f "$work/port" ] || { echo "FAILED: the server did not start"; exit 1; }
base=http://127.0.0.1:$(cat "$work/port")

# get PATH DIR: runs the script, without any proxy between.
get() {
  : >"$work/requests"
  env no_proxy=127.0.0.1 NO_PROXY=127.0.0.1 PATH="$path" RTRAIN_CIFAR10_URL="$base$1" RTRAIN_CIFAR10_MD5="$md5" \
    "$script" "$2" >"$work/log" 2>&1
}
complete() { cmp -s "$work/src/cifar-10-batches-bin/data_batch_1.bin" "$1/cifar-10-batches-bin/data_batch_1.bin"; }

check_all() {
  d=$work/$tool
  get /good "$d/good" || fail "a plain download"
  complete "$d/good" || fail "a plain download is not complete"
  grep -q "is in $d/good/cifar-10-batches-bin" "$work/log" || fail "it does not say where the data is"
  get /good "$d/good" || fail "a second run"
  [ ! -s "$work/requests" ] || fail "a second run asked the server again"

  get /breaks "$d/breaks" || fail "a connection that breaks"
  complete "$d/breaks" || fail "a connection that breaks: not complete"
  grep -q 'bytes=[1-9]' "$work/requests" || fail "a broken download was not resumed"

  mkdir -p "$d/killed"
  head -c 123456 "$work/www/good.tar.gz" >"$d/killed/cifar-10-binary.tar.gz.part"
  get /good "$d/killed" || fail "the part that a killed run left"
  complete "$d/killed" || fail "the part that a killed run left: not complete"
  [ "$(cat "$work/requests")" = "/good bytes=123456-" ] || fail "the part that a killed run left was not used"

  mkdir -p "$d/whole"
  cp "$work/www/good.tar.gz" "$d/whole/cifar-10-binary.tar.gz.part"
  get /absent "$d/whole" || fail "a part that is whole already"
  complete "$d/whole" || fail "a part that is whole already: not complete"

  mkdir -p "$d/no-ranges"
  head -c 123456 "$work/www/good.tar.gz" >"$d/no-ranges/cifar-10-binary.tar.gz.part"
  get /no-ranges "$d/no-ranges" || fail "a server without ranges"
  complete "$d/no-ranges" || fail "a server without ranges: not complete"

  if get /damaged "$d/damaged"; then fail "a damaged archive was accepted"; fi
  grep -q "expected $md5" "$work/log" || fail "the message of a damaged archive does not name the MD5"
  [ -z "$(ls "$d/damaged")" ] || fail "a damaged archive left something behind"
  get /good "$d/damaged" || fail "a good download after a damaged one"
  complete "$d/damaged" || fail "a good download after a damaged one: not complete"

  mkdir -p "$d/long"
  head -c 3000000 /dev/zero >"$d/long/cifar-10-binary.tar.gz.part"
  get /good "$d/long" || get /good "$d/long" || fail "a part that is longer than the file"
  complete "$d/long" || fail "a part that is longer than the file: not complete"
}

tool=curl
path=$PATH
check_all
if get /absent "$work/absent"; then fail "a page that does not exist was accepted"; fi
grep -q "gave up after 5 attempts" "$work/log" || fail "no word about giving up"

if command -v wget >/dev/null; then
  tool=wget
  mkdir "$work/bin"
  for program in wget md5sum cut mkdir rm mv tar gzip sleep env; do ln -s "$(command -v $program)" "$work/bin/"; done
  path=$work/bin
  check_all
fi
echo "get_cifar10.sh: all checks passed"
