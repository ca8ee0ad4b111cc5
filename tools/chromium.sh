#!/usr/bin/env bash
# Chromium and a Chinese font for the dashboard's browser test. Quick where they are there; without them that test is skipped.
set -uo pipefail
[ "$(uname -s)" = Linux ] || exit 0
packages=()
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || packages+=(chromium)
fc-list 2>/dev/null | grep -qiE "wqy|noto.*cjk" || packages+=(fontconfig fonts-wqy-microhei)
[ "${#packages[@]}" = 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "The dashboard's browser test needs ${packages[*]}: without chromium it is skipped, without the font it shows boxes." >&2
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -qq -y --no-install-recommends "${packages[@]}"; } >/dev/null ||
	echo "apt-get could not install ${packages[*]}: the dashboard's browser test may be skipped." >&2
exit 0
