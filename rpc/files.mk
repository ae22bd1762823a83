# SPDX-License-Identifier: ISC
# The data channel and services: no programs, linked by agent/ and qrexecd/.
RPC_SRC = rpc/control.c rpc/relay.c rpc/relay-log.c rpc/relay-send.c rpc/relay-recv.c rpc/pump.c rpc/service.c rpc/lookup.c rpc/config.c
