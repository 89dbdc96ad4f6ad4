/** Loaded after `inmesh/register` in the process of an application: tells the test what the mesh has seen, and drains when it is asked. */
import { defaultMesh } from '../../../src/index.ts'

process.on('message', async (question) => {
  const mesh = defaultMesh()
  if (question === 'drain') process.send?.({ drained: await mesh.drain() })
  if (question === 'stats') process.send?.({ stats: mesh.stats() })
  if (question === 'prometheus') process.send?.({ prometheus: mesh.prometheus() })
})
