/** Ports of a node on its own address; chain and relay are those of a development node. */
export const chainPort = 9944;
export const relayPort = 8780;
/** Metrics and health of any node's gateway. */
export const httpPort = 8781;
/** Grid proxy, GraphQL and KYC status of a development node. */
export const webPort = 8782;
