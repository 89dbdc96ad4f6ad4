import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Outbox } from '../../src/intercept/grpc/outbox.ts'

describe('the outbox', () => {
  test('keeps several messages up to 64 KiB, and one of any size', () => {
    const one = filled([1_000_000])
    one.taken(0)
    assert.equal(one.complete, true)

    const small = filled([30_000, 30_000])
    small.taken(0)
    small.taken(1)
    assert.equal(small.complete, true)

    const large = filled([40_000, 40_000])
    large.taken(0)
    assert.equal(large.complete, false)
    assert.equal(large.at(1)?.message.length, 40_000)
  })

  test('is whole once all is written and while all of it stays, whoever takes it', () => {
    const outbox = filled([30_000, 30_000])
    assert.equal(outbox.whole, false)
    outbox.finished = true
    outbox.taken(1)
    assert.equal(outbox.whole, true)
    outbox.commit(2)
    assert.equal(outbox.whole, false)

    const large = filled([40_000, 40_000])
    large.finished = true
    assert.equal(large.whole, false)

    const one = filled([1_000_000])
    one.finished = true
    assert.equal(one.whole, true)
  })

  test('tells whoever wrote a message once, however often it is sent', () => {
    let told = 0
    const outbox = new Outbox()
    outbox.push({ callback: () => told++ }, Buffer.alloc(1))

    outbox.taken(0)
    outbox.taken(0)
    outbox.release()

    assert.equal(told, 1)
  })

  test('lets go of whoever still waits when the call is over', () => {
    let told = 0
    const outbox = new Outbox()
    outbox.push({ callback: () => told++ }, Buffer.alloc(1))

    outbox.release()
    outbox.push({ callback: () => told++ }, Buffer.alloc(1))
    outbox.release()

    assert.equal(told, 2)
  })

  test('never loses a message that was not sent yet', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 50_000 }), { minLength: 1, maxLength: 8 }), fc.nat(8), (sizes, commitAt) => {
        const outbox = filled(sizes)
        for (const [number, size] of sizes.entries()) {
          if (number === commitAt) outbox.commit(number)
          assert.equal(outbox.at(number)?.message.length, size)
          outbox.taken(number)
        }
        assert.equal(outbox.length, sizes.length)
        if (outbox.complete)
          assert.deepEqual(
            sizes.map((_, number) => outbox.at(number)?.message.length),
            sizes,
          )
      }),
    )
  })
})

function filled(sizes: readonly number[]): Outbox {
  const outbox = new Outbox()
  for (const size of sizes) outbox.push({}, Buffer.alloc(size))
  return outbox
}
