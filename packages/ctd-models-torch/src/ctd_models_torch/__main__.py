"""``python -m ctd_models_torch``."""

from ctd_models_torch.cli import main

if __name__ == "__main__":
    main()
