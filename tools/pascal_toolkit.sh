#!/usr/bin/env bash
# Fetches what a build for compute capability 6.1 needs, which current CUDA toolkits no longer serve: CUDA 12.4's
# compiler, as Debian 13 packages it, into a folder of its own. The system and its apt stay untouched; nothing needs
# root.
#   tools/pascal_toolkit.sh [FOLDER] [--with-libraries]       FOLDER: build/pascal-toolkit
# --with-libraries adds cuBLAS 12 and cuDNN 9.10.2, the last one that serves 6.1, from their Python packages (about 1
# GB), for a full link. Then: cmake --preset pascal
# Exit code 77 where it cannot be had here.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=build/pascal-toolkit
libraries=false
for word in "$@"; do
  case $word in
    --with-libraries) libraries=true ;;
    -*) echo "usage: $0 [FOLDER] [--with-libraries]" >&2; exit 2 ;;
    *) folder=$word ;;
  esac
done
skip() { echo "no CUDA 12.4 here: $1" >&2; exit 77; }

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

debian_mirror() {  # that the machine's own apt uses
  apt-get "$@" indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(CREATED_BY) $(ORIGIN)' |
    awk '$2 !~ /-/ && $3 == "main" && $4 == "Packages" && $5 == "Debian" { print $1; exit }' || true
}

fetch_compiler() {
  [ "$(uname -m)" = x86_64 ] || skip "this machine is not x86_64"
  for tool in apt-get dpkg-deb; do command -v $tool >/dev/null || skip "no $tool"; done
  local apt=$folder/apt work=$folder/packages mirror
  mkdir -p "$apt"/{lists/partial,machine/partial,cache/archives/partial} "$work"
  mirror=$(debian_mirror)
  if [ -z "$mirror" ]; then  # its lists may only never have been fetched
    local lists=(-o Dir::State::lists="$apt/machine" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User="$(id -un)")
    apt-get -qq "${lists[@]}" update >&2 || true
    mirror=$(debian_mirror "${lists[@]}")
  fi
  [ -n "$mirror" ] || skip "apt knows no Debian mirror (an installed CUDA 12.x serves too: name its nvcc in CUDACXX)"

  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  local signed=
  [ -e $keyring ] && signed="signed-by=$keyring "
  echo "deb [${signed}arch=amd64] $mirror trixie main contrib non-free" >"$apt/sources"
  : >"$apt/status"
  local private=(-qq -o Dir::Etc::sourcelist="$apt/sources" -o Dir::Etc::sourceparts=/dev/null -o Dir::State="$apt"
    -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache"
    -o APT::Sandbox::User="$(id -un)")
  apt-get "${private[@]}" update >&2 || skip "the mirror's suite trixie cannot be read"
  local packages=(nvidia-cuda-toolkit nvidia-cuda-dev libcudart12 libcu++-dev libcub-dev libthrust-dev)
  (cd "$work" && apt-get "${private[@]}" download "${packages[@]}") >&2 ||
    skip "the mirror has no nvidia-cuda-toolkit"
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
  rm -rf "$apt" "$work"

  local root=$folder/root/usr
  local tools=$root/lib/nvidia-cuda-toolkit
  mkdir -p "$folder/bin"
  local name at
  for name in cicc cuobjdump nvdisasm ptxas fatbinary nvlink cudafe++ bin2c; do  # not its gcc: the machine's is used
    for at in "$tools/bin/$name" "$root/bin/$name"; do
      if [ -f "$at" ]; then ln -sf "$at" "$folder/bin/$name"; fi
    done
  done
  # Where CMake looks for them.
  mkdir -p "$folder/nvvm"
  ln -sfn "$tools/libdevice" "$folder/nvvm/libdevice"
  ln -sfn "$tools/bin/crt" "$folder/bin/crt"
  # Debian's own profile points into /usr, this one into the folder.
  cat >"$folder/bin/nvcc.profile" <<PROFILE
TOP = $folder
CICC_PATH = $tools/bin
NVVMIR_LIBRARY_DIR = $folder/nvvm/libdevice
PATH += $folder/bin:
INCLUDES += "-I$root/include" \$(_SPACE_)
LIBRARIES =+ \$(_SPACE_) "-L$root/lib/x86_64-linux-gnu" \$(_SPACE_)
PROFILE
  # A copy, since nvcc follows links to where it looks for its profile; last, as the sign that all is there.
  cp "$tools/bin/nvcc" "$folder/bin/nvcc"
  "$folder/bin/nvcc" --version | grep -q 'release 12' || skip "what was fetched is not CUDA 12"
}

fetch_libraries() {
  local pip=("${RTRAIN_PYTHON:-python3}" -m pip)
  "${pip[@]}" --version >/dev/null 2>&1 || skip "no pip for the cuBLAS and cuDNN packages"
  "${pip[@]}" download --quiet --no-deps --only-binary=:all: --dest "$folder/wheels" \
    nvidia-cudnn-cu12==9.10.2.21 'nvidia-cublas-cu12==12.4.*' >&2 || skip "cuBLAS and cuDNN cannot be downloaded"
  for wheel in "$folder"/wheels/*.whl; do "${RTRAIN_PYTHON:-python3}" -m zipfile -e "$wheel" "$folder/unpacked"; done
  rm -rf "$folder/wheels" "$folder/site-packages"
  mv "$folder/unpacked" "$folder/site-packages"
}

[ -x "$folder/bin/nvcc" ] || fetch_compiler
if $libraries && [ ! -d "$folder/site-packages" ]; then fetch_libraries; fi
echo "$folder/bin/nvcc"
