#!/usr/bin/env bash
# Quick start: adapt the shipped breast detector to the embedded (synthetic) eye with four labelled
# images, then find nuclei in one image. Six steps only, so that it ends soon: leave out the --set
# options for a real training.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

transfer-kit finetune --base breast --target eye --freeze 2 --labels 4 \
    --set train.steps=6 --set train.batch_size=2 --set train.validate_every=3 \
    --set patches.size_px=128 --set evaluation.overlays=1

run=$(echo runs/*)
transfer-kit data convert eye --format csv -o eye-copy
transfer-kit predict --model "$run" --mpp 0.25 -o found eye-copy/images/eye-23.png

echo "Made in a temporary folder:"
ls "$run" "$run/figures" "$run/overlays" found
