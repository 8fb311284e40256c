#!/bin/sh
# Downloads CIFAR-10 (binary version, 162 MiB), checks it and unpacks it into DIR/cifar-10-batches-bin.
#   tools/get_cifar10.sh DIR
# An interrupted download goes on where it stopped, also in a later run. The archive's MD5 is checked before anything is
# unpacked, and the folder appears only when it is complete. Needs curl or wget, tar, gzip, md5sum (or md5).
# RTRAIN_CIFAR10_URL names a mirror. RTRAIN_CIFAR10_MD5 is for the test of this script.
set -eu

url=${RTRAIN_CIFAR10_URL:-https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz}
md5=${RTRAIN_CIFAR10_MD5:-c32a1d4ab5d03f1284b67883e8d87530}
attempts=5

say() { printf '%s\n' "$*" >&2; }
die() { say "get_cifar10: $*"; exit 1; }

case ${1:-} in
  ''|-*) say "usage: tools/get_cifar10.sh DIR    downloads CIFAR-10 into DIR/cifar-10-batches-bin"; exit 2 ;;
esac
dir=$1
folder=$dir/cifar-10-batches-bin
archive=$dir/cifar-10-binary.tar.gz
part=$archive.part

checksum() {
  if command -v md5sum >/dev/null; then md5sum "$1" | cut -d ' ' -f 1; else md5 -q "$1"; fi
}

# Continues $part, or begins anew where that cannot be: curl's exit status 33 says that the server has no ranges, HTTP
# 416 that the file has no such range.
download() {
  if command -v curl >/dev/null; then
    rc=0
    code=$(curl --fail --location --show-error --connect-timeout 30 --speed-limit 1 --speed-time 60 \
      --write-out '%{http_code}' --continue-at - --output "$part" "$url") || rc=$?
    [ "$rc" -ne 33 ] && [ "$code" != 416 ] && return "$rc"
    rm -f "$part"
    return 1
  elif command -v wget >/dev/null; then
    wget --tries=1 --timeout=60 --continue --output-document="$part" "$url"
  else
    die "needs curl or wget; on Debian or Ubuntu: apt-get install curl"
  fi
}

if [ -d "$folder" ]; then
  say "CIFAR-10 is already in $folder"
  exit 0
fi
mkdir -p "$dir"

if [ ! -f "$archive" ]; then
  attempt=1
  # A part that is already whole (the last run was stopped before it was renamed) must not be asked for again.
  until [ -f "$part" ] && [ "$(checksum "$part")" = "$md5" ]; do
    [ "$attempt" -le "$attempts" ] || die "gave up after $attempts attempts; run it again to go on with $part"
    [ "$attempt" -eq 1 ] || { say "attempt $attempt of $attempts"; sleep 1; }
    attempt=$((attempt + 1))
    download || continue
    sum=$(checksum "$part")
    if [ "$sum" != "$md5" ]; then
      rm -f "$part"
      die "what $url gave is damaged: MD5 $sum, expected $md5. It was removed; run this again"
    fi
  done
  mv "$part" "$archive"
fi

sum=$(checksum "$archive")
[ "$sum" = "$md5" ] || die "$archive is damaged: MD5 $sum, expected $md5. Remove it and run this again"
unpacked=$dir/.unpacking.$$
trap 'rm -rf "$unpacked"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$unpacked"
tar -xzf "$archive" -C "$unpacked"
mv "$unpacked/cifar-10-batches-bin" "$folder"
say "CIFAR-10 is in $folder; the archive $archive is no longer needed"
