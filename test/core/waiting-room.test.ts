import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SmallService } from './small-service.ts'

function never(): void {
  assert.fail('not to be called')
}

describe('a service without endpoints', () => {
  test('wakes everybody who waits with the first endpoint', () => {
    const small = new SmallService()
    const woken: boolean[] = []
    for (let i = 0; i < 3; i++) small.service.whenReady((ready) => woken.push(ready))
    assert.equal(small.timers, 1)

    small.clock.advance(2_999)
    small.update()
    assert.deepEqual(woken, [])
    small.update('a')

    assert.deepEqual(woken, [true, true, true])
    assert.equal(small.timers, 0)
  })

  test('gives up 3 s after it was made, however late a call came, and then at once', () => {
    const small = new SmallService()
    const woken: boolean[] = []
    small.clock.advance(1_000)
    small.service.whenReady((ready) => woken.push(ready))
    small.clock.advance(1_500)
    small.service.whenReady((ready) => woken.push(ready))

    small.clock.advance(499)
    assert.deepEqual(woken, [])
    small.clock.advance(1)

    assert.deepEqual(woken, [false, false])
    assert.equal(small.service.whenReady(never), undefined)
    assert.equal(small.timers, 0)
  })

  test('gets another 3 s when it had endpoints in between', () => {
    const small = new SmallService()
    const woken: boolean[] = []
    small.clock.advance(5_000)
    small.update('a')
    assert.equal(small.service.whenReady(never), undefined)
    small.clock.advance(5_000)

    small.update()
    small.clock.advance(1_000)
    small.service.whenReady((ready) => woken.push(ready))

    small.clock.advance(1_999)
    assert.deepEqual(woken, [])
    small.clock.advance(1)
    assert.deepEqual(woken, [false])
  })

  test('does not wake who left, and keeps no timer for nobody', () => {
    const small = new SmallService()
    const woken: string[] = []
    const first = small.service.whenReady(() => woken.push('first'))
    const second = small.service.whenReady(() => woken.push('second'))

    first?.()
    first?.()
    assert.equal(small.timers, 1)
    second?.()
    assert.equal(small.timers, 0)
    small.service.whenReady(() => woken.push('third'))
    first?.()
    small.clock.advance(3_000)

    assert.deepEqual(woken, ['third'])
  })

  test('does not forget who waits now when somebody leaves who was woken before', () => {
    const small = new SmallService()
    const woken: boolean[] = []
    const leave = small.service.whenReady(() => {})
    small.update('a')
    small.update()
    small.service.whenReady((ready) => woken.push(ready))

    leave?.()
    small.clock.advance(3_000)

    assert.deepEqual(woken, [false])
  })

  test('does not wake who leaves while others are woken', () => {
    const small = new SmallService()
    const woken: string[] = []
    small.service.whenReady(() => {
      woken.push('first')
      leave?.()
    })
    const leave = small.service.whenReady(() => woken.push('second'))
    small.service.whenReady(() => woken.push('third'))

    small.update('a')

    assert.deepEqual(woken, ['first', 'third'])
  })

  test('lets who is woken make attempts, and wait again when the endpoint is gone already', () => {
    const small = new SmallService()
    const seen: string[] = []
    small.service.whenReady(() => {
      seen.push(`first ${small.attempt()?.endpoint.name}`)
      small.update()
      small.service.whenReady((ready) => seen.push(`first again ${ready}`))
    })
    small.service.whenReady(() => {
      seen.push(`second ${small.attempt()?.endpoint.name}`)
      small.service.whenReady((ready) => seen.push(`second again ${ready}`))
    })

    small.update('a')

    assert.deepEqual(seen, ['first a:80', 'second undefined'])
    small.update('b')
    assert.deepEqual(seen.slice(2), ['first again true', 'second again true'])
    assert.equal(small.timers, 0)
  })

  test('lets 10000 calls wait and refuses one more', () => {
    const small = new SmallService()
    let woken = 0
    for (let i = 0; i < 10_000; i++)
      assert.notEqual(
        small.service.whenReady(() => woken++),
        undefined,
      )

    assert.equal(small.service.whenReady(never), undefined)
    small.update('a')
    assert.equal(woken, 10_000)
  })

  test('wakes the others when one of them throws', async () => {
    const small = new SmallService()
    const woken: string[] = []
    const thrown = new Promise<Error>((resolve) => process.setUncaughtExceptionCaptureCallback(resolve))
    small.service.whenReady(() => {
      throw new Error('handler')
    })
    small.service.whenReady(() => woken.push('second'))

    small.update('a')

    assert.deepEqual(woken, ['second'])
    assert.equal((await thrown).message, 'handler')
    process.setUncaughtExceptionCaptureCallback(null)
  })
})
