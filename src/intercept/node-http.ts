/**
 * Node's http and https, without what importing them costs: for the names that nobody uses here, an import also loads the fetch that is built into
 * Node, 8 ms and 2 MB of it.
 */
export const http = process.getBuiltinModule('node:http')
export const https = process.getBuiltinModule('node:https')
