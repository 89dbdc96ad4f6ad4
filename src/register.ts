/**
 * `node --import inmesh/register app.js`: Node's own `fetch`, undici, node:http and node:https go through the default mesh, and nothing in the
 * application changes.
 */
import type https from 'node:https'
import { defaultMesh } from './default-mesh.ts'
import { http, https as nodeHttps } from './intercept/node-http.ts'
import { becomeGlobal } from './intercept/undici/global.ts'

const mesh = defaultMesh()
becomeGlobal(mesh.dispatcher)
http.globalAgent = mesh.httpAgent
nodeHttps.globalAgent = mesh.httpsAgent as unknown as https.Agent
