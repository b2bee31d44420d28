# bash completion for mezzo; written by `mezzo completion bash`.
_mezzo() {
  local word="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" flags="--help"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "inspect check compile grad train run opt bench doctor version completion --help" -- "$word")); return
  fi
  case "$previous" in
    --precision) COMPREPLY=($(compgen -W "fp32 bf16 fp16" -- "$word")); return ;;
    --numerics) COMPREPLY=($(compgen -W "strict excess" -- "$word")); return ;;
    --device) COMPREPLY=($(compgen -W "cpu cuda reference" -- "$word")); return ;;
    --loss) COMPREPLY=($(compgen -W "cross_entropy mse l1 bce_with_logits output" -- "$word")); return ;;
    --optimizer) COMPREPLY=($(compgen -W "sgd adam adamw" -- "$word")); return ;;
    --mode) COMPREPLY=($(compgen -W "train eval" -- "$word")); return ;;
    --loss-scale) COMPREPLY=($(compgen -W "dynamic none" -- "$word")); return ;;
  esac
  case "${COMP_WORDS[1]}" in
    inspect) flags="--help --json" ;;
    check) flags="--help --batch --loss --label-smoothing --labels --precision --numerics --loss-scale --mode --plan --train --freeze --tie-aliases --shape --threads --seed --cache-dir --device --json" ;;
    compile) flags="--help --batch --optimizer --lr --momentum --nesterov --weight-decay --betas --eps --clip-norm --group --no-decay-on-vectors --loss --label-smoothing --labels --precision --numerics --loss-scale --mode --plan --train --freeze --tie-aliases --shape --threads --seed --cache-dir --dump --device --json" ;;
    grad) flags="--help --feed --out --loss --label-smoothing --labels --precision --numerics --loss-scale --mode --plan --train --freeze --tie-aliases --shape --threads --seed --cache-dir --dump --device" ;;
    train) flags="--help --data --batch --epochs --steps --no-shuffle --accumulate --data-format --seq --mean --std --resize --no-augment --skip-corrupt --prefetch --optimizer --lr --momentum --nesterov --weight-decay --betas --eps --clip-norm --group --no-decay-on-vectors --schedule --warmup --warmup-start --lr-final --lr-period --milestones --gamma --loss --label-smoothing --labels --precision --numerics --loss-scale --mode --plan --train --freeze --tie-aliases --shape --threads --seed --cache-dir --dump --device --eval --eval-every --best --checkpoint --checkpoint-every --keep --resume --log --out --json" ;;
    run) flags="--help --feed --out --threads --cache-dir --device" ;;
    opt) flags="--help --pass --out" ;;
    bench) flags="--help --batch --feed --steps --optimizer --lr --momentum --nesterov --weight-decay --betas --eps --clip-norm --group --no-decay-on-vectors --loss --label-smoothing --labels --precision --numerics --loss-scale --mode --plan --train --freeze --tie-aliases --shape --threads --seed --cache-dir --dump --device --json" ;;
    doctor) flags="--help --json" ;;
    version) flags="--help" ;;
    completion) flags="--help" ;;
  esac
  if [[ "$word" == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$word"))
  else COMPREPLY=($(compgen -f -- "$word")); fi
}
complete -o filenames -F _mezzo mezzo
