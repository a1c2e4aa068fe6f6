/** Ports of a development node on its own address. */
export const chainPort = 9944;
export const relayPort = 8780;
