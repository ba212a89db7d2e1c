namespace CudaLora.Lora;

/// <summary>
/// GPT-2's byte alphabet: each of the 256 bytes has one printable character, so that a vocabulary file is plain text.
/// Printable Latin-1 stands for itself; the other bytes take U+0100 onwards (the blank becomes U+0120).
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] ToChar = new char[256];
    private static readonly short[] ToByte = new short[0x200];

    static ByteAlphabet()
    {
        Array.Fill(ToByte, (short)-1);
        int next = 256;
        for (int b = 0; b < 256; b++)
        {
            bool printable = b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE and <= 0xFF;
            char c = printable ? (char)b : (char)next++;
            ToChar[b] = c;
            ToByte[c] = (short)b;
        }
    }

    public static char CharOf(byte value) => ToChar[value];

    /// <summary>The byte a character stands for, or -1.</summary>
    public static int ByteOf(char c) => c < ToByte.Length ? ToByte[c] : -1;
}
