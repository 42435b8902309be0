"""``python -m ctd_models_jax`` is the command ctd-models-jax."""

from ctd_models_jax.cli import main

if __name__ == "__main__":
    main()
