# SPDX-License-Identifier: ISC
# Dom0's services that the agents of qubes call, each a program of its own.
