# What the scripts of tools/ that build share: Debian packages, by what needs them, and how
# to say no more than is needed. To be sourced, by bash.

PACKAGES_BUILD="gcc libc6-dev meson ninja-build pkg-config libfuse3-dev
  libcurl4-openssl-dev libssl-dev libarchive-dev libzstd-dev libexpat1-dev libcmocka-dev
  scdoc"
PACKAGES_RUN="fuse3 ca-certificates"
PACKAGES_TEST="clang libclang-rt-14-dev lld python3 python3-rados ceph-mon ceph-osd radosgw
  apache2-bin nginx-light libarchive-tools zstd xz-utils lz4 zip unzip attr curl openssl
  procps valgrind python3-yaml systemd dpkg-dev fuse-overlayfs zsh fish man-db"

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages NAME...: installs those that are missing, and says so.
need_packages() {
	local p missing=()
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q ' installed$' || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if ! command -v apt-get >/dev/null; then
		echo "these packages are missing, and there is no apt-get here: ${missing[*]}" >&2
		return 1
	fi
	echo "installing from Debian: ${missing[*]}"
	as_root apt-get update -qq
	# Servers are started by the tests themselves, never by their packages.
	as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq \
		--no-install-recommends "${missing[@]}" >/dev/null
}

# quietly COMMAND...: runs it, and shows what it printed only when it failed; meson and
# ninja tell their errors on standard output.
quietly() {
	local said status=0
	said=$("$@" 2>&1) || status=$?
	[ "$status" = 0 ] || printf '%s\n' "$said" >&2
	return "$status"
}
