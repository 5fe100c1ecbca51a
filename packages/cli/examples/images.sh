# An image, a snapshot, a compressed copy that is the same, and a part of it over NBD.
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
softmetal img create -q -f qcow2 disk.qcow2 64M
softmetal io -c 'write -q -P 0x42 1M 4M' disk.qcow2
softmetal img snapshot -c first disk.qcow2
softmetal io -c 'write -q -P 0x43 2M 1M' disk.qcow2
softmetal img convert -c -O qcow2 disk.qcow2 copy.qcow2
softmetal img compare disk.qcow2 copy.qcow2
softmetal nbd --fork -t -k "$PWD/socket" --pid-file="$PWD/pid" -l first disk.qcow2
softmetal img map -f raw "nbd+unix:///?socket=$PWD/socket" --output=json
kill "$(cat pid)"
