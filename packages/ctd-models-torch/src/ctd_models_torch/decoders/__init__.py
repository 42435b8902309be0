"""Decoders of sequential autoencoders: dynamics of the contract's kinds that are trained."""

from ctd_models_torch.decoders.base import Decoder
from ctd_models_torch.decoders.gru import GRUDecoder
from ctd_models_torch.decoders.lds import LDSDecoder
from ctd_models_torch.decoders.node import NODEDecoder
from ctd_models_torch.decoders.rnn import RNNDecoder

__all__ = ["Decoder", "GRUDecoder", "LDSDecoder", "NODEDecoder", "RNNDecoder"]
