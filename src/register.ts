/**
 * `node --import inmesh/register app.js`: Node's own `fetch`, undici, node:http and node:https go through the default mesh, and nothing in the
 * application changes.
 */
import http from 'node:http'
import https from 'node:https'
import { defaultMesh } from './default-mesh.ts'
import { becomeGlobal } from './intercept/undici/global.ts'

const mesh = defaultMesh()
becomeGlobal(mesh.dispatcher)
http.globalAgent = mesh.httpAgent
https.globalAgent = mesh.httpsAgent as unknown as https.Agent
